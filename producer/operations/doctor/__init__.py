"""What `clipqueue doctor` looks at, one subject a module, and how it tells what it finds."""
