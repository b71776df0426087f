"""Write the output of the tools: columns, standard streams, error lines and Prometheus text files."""
