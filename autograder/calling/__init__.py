"""One narrow seam to a component, in this process or in another: a request goes in, a reply comes out."""
