"""A Kubernetes cluster of one node on this machine: `python -m deploy.cluster up`, `down`, `status`, `images`."""
