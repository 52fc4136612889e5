"""Tasks that ship with Windrow, and the worked examples. They import only what any user may import: `windrow`."""
