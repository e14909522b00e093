"""One of the processes of `decoders.Decoders`."""

import sys

import cv2

from common.images.decoders import serve

if __name__ == "__main__":
    cv2.setNumThreads(1)
    serve(sys.stdin.buffer, sys.stdout.buffer, int(sys.argv[1]), sys.argv[2])
