"""Opens TIFFs, and reads those that Pillow reads wrong or not at all."""
