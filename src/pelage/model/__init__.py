"""Networks: backbone, pooling, embedding head, and the weights made by others."""
