"""The metadata services that users bring: asked before, watched always, left clean; knows no pool.

A caller gives endpoints, a key prefix and a uid that claims it; what a pool is, is no matter here.
One protocol (`service`), one module per service (`etcd`, `redis`), chosen in `kinds`. No message
and no log line of this package carries what an endpoint answered: an endpoint may be any host.
"""
