"""Where things are found if nobody says otherwise; imports nothing: quick commands need it."""

AGENTS = "/run/onehop/agents"  # the sockets where agents are asked: HOST.sock
