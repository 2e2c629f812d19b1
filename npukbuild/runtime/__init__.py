"""What an application imports: released kernels as functions on numpy arrays."""
