"""How the bundled base is made: synthetic series and the stages that train on them."""
