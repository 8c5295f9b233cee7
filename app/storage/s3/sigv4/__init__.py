"""AWS Signature Version 4 as a server sees it: who signed a request, whether the signature holds, and its body's."""
