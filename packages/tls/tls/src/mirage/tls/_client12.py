def server_hello(hello, message, offer, link):
    raise NotImplementedError
