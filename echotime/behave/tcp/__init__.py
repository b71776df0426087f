"""The TCP behaviors, one class in each module; echotime.behave.kinds registers them."""
