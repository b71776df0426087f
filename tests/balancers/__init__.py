"""Test the daemon behind real load balancers, with the configurations of etc/examples; run by `make test-balancers`."""
