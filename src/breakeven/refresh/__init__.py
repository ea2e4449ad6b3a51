"""Continuous learning: new rows in, the candidates trained anew beside what serves, the winner by money."""
