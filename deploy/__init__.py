"""How Windrow is brought to where it runs: images, and a cluster to try it on."""
