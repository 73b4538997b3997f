"""What the lab shows, one scenario per module.

1. A scenario is a function `run(lab, screen, …)` that returns its result: figures measured in
   this run, and checks that these figures decide.  Nothing in it is known beforehand.
2. It leaves the lab as it found it: every gateway is up again, also where it fails.
3. It uses the lab's handles, and commands that a user could give; never the product's insides.
"""

NAMES = ("scaling", "failover", "onehop", "elastic", "stateful", "store")
