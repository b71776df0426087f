"""The UDP behaviors, one class in each module; echotime.behave.kinds registers them."""
