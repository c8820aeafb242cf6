"""Events, holds and tickets: all stock lives here."""
