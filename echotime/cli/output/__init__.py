"""What the tools print: columns, standard streams, error lines and Prometheus text files."""
