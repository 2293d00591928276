"""Pictures of users: which kinds are read, how a file is opened whatever it is, how it reaches a backbone's size."""
