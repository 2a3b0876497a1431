"""Real nodes on this machine: kubelet, containerd and runc, each node in namespaces of its own.

One supervisor process holds them all (`keeper`): whatever ends it ends them. They share a network
that only it can enter (`hub`), so that this machine gets no interface, no route, no rule and no
sysctl, and several clusters never meet.
"""
