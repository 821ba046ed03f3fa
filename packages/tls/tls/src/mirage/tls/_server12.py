def client_hello(hello, message, link):
    raise NotImplementedError
