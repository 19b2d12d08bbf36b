"""A GAN on handwritten digits: two networks, each with a feed and a loss of its own."""
