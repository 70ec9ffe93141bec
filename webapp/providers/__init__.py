"""Who answers: this process's engine today. A provider turns a request with complete terms into a stream."""
