"""One boto3 suite for Kinesis: all of it for our server, for others what they get right."""
