"""Scoring: ``functional`` (plain arrays), ``metrics`` (registered), folders of masks, submissions, the evaluation loop.

Nothing is imported here, so that scoring folders of masks loads no framework.
"""
