"""What a release says about itself: its facts, and the documents that are made of them."""
