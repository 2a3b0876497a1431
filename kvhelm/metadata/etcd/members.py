"""Who is registered under one prefix: one read."""

from aetcd import rpc

from kvhelm.metadata.etcd.client import EtcdEndpoint, page_of, range_request
from kvhelm.metadata.etcd.keys import checked, claim_key, instances, members_in
from kvhelm.metadata.service import Members


async def members(etcd: EtcdEndpoint, prefix: str) -> Members:
    """Read the members and the claim at one revision. Raises ServiceFailed."""
    reads = (instances(checked(prefix)), claim_key(prefix))
    answer = await etcd.transact(
        [], [rpc.RequestOp(request_range=range_request(each)) for each in reads]
    )
    entries, claim = (page_of(each.response_range) for each in answer.responses)
    whole, torn = members_in(prefix, entries.entries)
    holder = next((entry.value for entry in claim.entries), None)
    return Members(
        members=whole,
        torn=torn,
        claim=None if holder is None else holder.decode("ascii", "replace"),
        cluster_id=f"{answer.header.cluster_id:x}",
        revision=answer.header.revision,
    )
