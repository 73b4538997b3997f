REASONS: tuple[str, ...]  # in words, by Reason; [0] is ""
