"""How several ranks train one model: data parallel, or sharded too."""
