"""Where messages go: standard output, webhooks, MQTT, mail, commands and metrics."""
