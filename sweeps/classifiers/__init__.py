"""Fitted classifiers at the command line: a support set of any source, pictures of any number, other runtimes."""
