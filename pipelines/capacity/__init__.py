"""What a release will take, calculated from measured unit costs."""
