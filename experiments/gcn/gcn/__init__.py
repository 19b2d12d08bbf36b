"""Nodes of a graph, classified by a graph convolutional network."""
