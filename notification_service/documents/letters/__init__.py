"""What each kind of mail says: a module each, with the pair of templates of its name."""
