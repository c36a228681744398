"""The parts of the adapter for servers with an OpenAI-style API."""
