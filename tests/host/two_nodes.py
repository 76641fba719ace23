"""A Ray cluster of two nodes of one core each, on this machine, as a program.

Prints its address. A line on standard input kills the second node, without a word to anybody; its end ends the cluster.
"""

import sys


def main() -> None:
    """Run the cluster."""
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    second = cluster.add_node(num_cpus=1)
    print(cluster.address, flush=True)
    for _ in sys.stdin:
        cluster.remove_node(second, allow_graceful=False)
        print("killed", flush=True)
    cluster.shutdown()


if __name__ == "__main__":
    main()
