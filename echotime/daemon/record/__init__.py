"""The record of connections (--record): its service, its file, and the thread that writes."""
