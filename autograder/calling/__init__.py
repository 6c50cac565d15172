"""The only way to call a component, in this process or in another: a request goes in, a reply comes out."""
