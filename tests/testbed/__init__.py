"""Real things that stand in for what is far away: the model's and the login's servers, a Docker Engine's images."""
