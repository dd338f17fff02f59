"""What libraries look for in torch.fx.experimental."""
