"""Answers TensorFlow Serving's REST interface with the model y = 2 x + 1, and holds its gRPC port."""
import json
import os
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

NAME = os.environ.get('MODEL_NAME', 'model')


class Handler(BaseHTTPRequestHandler):
    def answer(self, code, value):
        body = json.dumps(value).encode()
        self.send_response(code)
        self.send_header('Content-Type', 'application/json')
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        if self.path != f'/v1/models/{NAME}':
            return self.answer(404, {'error': f'Servable not found for request: Latest({self.path})'})
        self.answer(200, {'model_version_status': [{'version': '1', 'state': 'AVAILABLE', 'status': {'error_code': 'OK', 'error_message': ''}}]})

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get('Content-Length', 0)))
        if self.path != f'/v1/models/{NAME}:predict':
            return self.answer(404, {'error': 'Malformed request'})
        try:
            self.answer(200, {'predictions': [2 * x + 1 for x in json.loads(body)['instances']]})
        except (ValueError, KeyError, TypeError) as e:
            self.answer(400, {'error': str(e)})

    def log_message(self, *_):
        pass


def hold(server):
    while True:
        server.accept()[0].close()


rest = int(os.environ.get('REST_PORT', '8501'))
if rest == 8501:
    threading.Thread(target=hold, args=[socket.create_server(('', 8500))], daemon=True).start()
ThreadingHTTPServer(('', rest), Handler).serve_forever()
