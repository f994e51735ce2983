// Loaded into a Node server before it starts: whatever port and interface it asks for, it listens on
// a free port of 127.0.0.1, says as one line of JSON which it asked for and which it has, and leaves
// when its standard input ends.
'use strict'

const net = require('net')

const listen = net.Server.prototype.listen

net.Server.prototype.listen = function (...asked) {
  const callback = asked.filter((argument) => typeof argument === 'function')
  this.once('listening', () => {
    const fact = { asked: wanted(asked[0]), port: this.address().port }
    process.stdout.write(JSON.stringify(fact) + '\n')
  })
  return listen.call(this, { host: '127.0.0.1', port: 0 }, ...callback)
}

function wanted (argument) {
  return argument !== null && typeof argument === 'object' ? argument.port : argument
}

// Nothing of these servers is worth an orderly end, and one of them takes five seconds for it.
process.stdin.on('end', () => process.kill(process.pid, 'SIGKILL'))
process.stdin.resume()
