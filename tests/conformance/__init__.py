"""What every implementation of a protocol of ours has to do, asked of each of them."""
