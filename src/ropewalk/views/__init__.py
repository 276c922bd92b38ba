"""Pure views: a Trace goes in, something to look at comes out."""
