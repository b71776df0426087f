"""Write the output of the tools: help, standard streams, error lines and Prometheus text files."""
