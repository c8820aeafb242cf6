"""Sales from the hold to the mail: how many a second, how soon the mail comes, what each costs."""
