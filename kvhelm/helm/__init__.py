"""The only place that runs helm or reads a release Secret.

`chart` is what is installed, `releases` what the cluster says of it, `client` the verbs that change
it, `process` one helm process, `errors` why one failed, `payload` what a release Secret holds,
`origin` and `freeing` what becomes of revisions that others made, or never ended.
"""
