"""openai-python's own tests, with our classes in place of the official ones. Run by `make test-openai`."""
