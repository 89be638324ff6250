"""Turns the counts in Redis into ranked lists in Redis.

Its packages, from the entry to the core; each imports only those below it (`pyproject.toml`):

- `commands`: the command line; `versions`: the stages of an evaluation that DVC runs;
- `run`: one run at a time, from counts and histories to generations that are served; `spark`: the
  same counts and histories from the archive;
- `evaluation`: how good models are on a file of events;
- `judging`: hold-outs, lists, measures and leads, and what decides by them: the search of `auto`,
  comparisons of variants, canaries;
- `generations`: what is published and reported;
- `settings`; `quality`: whether counts are fit for training and a generation is fit to be served;
- `models`; `reading`: what the workers keep in Redis; `folding`: events to histories, of the
  archive or of a file;
- `counts`: matrices of counts and histories.
"""
